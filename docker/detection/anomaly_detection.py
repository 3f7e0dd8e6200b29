"""Score readings with personal models as a SageMaker processing job: a few lines over `analytics`."""

import sys

from analytics.sagemaker import OPT_ML, score
from analytics.sagemaker.places import run

if __name__ == "__main__":
    sys.exit(run(OPT_ML, lambda: score(OPT_ML)))
