"""Train personal models as a SageMaker training job: a few lines over `analytics`."""

import sys
from datetime import UTC, datetime

from analytics.sagemaker import OPT_ML, train
from analytics.sagemaker.places import run

if __name__ == "__main__":
    sys.exit(run(OPT_ML, lambda: train(OPT_ML, datetime.now(UTC))))
