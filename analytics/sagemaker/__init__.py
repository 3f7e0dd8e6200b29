"""Training and batch scoring as SageMaker containers.

The contract is that of AWS ("How Amazon SageMaker runs your training image", "Build your own processing container"):
inputs, settings and outputs are folders below /opt/ml, why it failed is written to `output/failure`, and the exit code
says whether it worked. Input is sharded by object: each object holds whole people, a range of subjects, so that no
person is ever split over two machines. `manage.py export_training` writes such objects, of those who have consented.
"""

from analytics.sagemaker.places import OPT_ML
from analytics.sagemaker.scoring import score
from analytics.sagemaker.training import train

__all__ = ["OPT_ML", "score", "train"]
