"""What Prometheus and Grafana are given, and what writes the dashboards. No part of the program."""
