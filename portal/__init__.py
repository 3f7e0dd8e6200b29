"""The Django project and the drawer for its apps."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
