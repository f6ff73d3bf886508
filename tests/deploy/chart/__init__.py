"""The Helm chart: what it renders from which values, and what it refuses."""
