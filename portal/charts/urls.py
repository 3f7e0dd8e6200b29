from django.urls import path

from portal.charts import views

urlpatterns = [path("patients/<int:pk>/chart.json", views.chart, name="chart")]
