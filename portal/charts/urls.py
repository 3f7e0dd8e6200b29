from django.urls import path

from portal.charts import views

urlpatterns = [path("patients/<int:pk>/charts.json", views.charts, name="charts")]
