"""What training costs: four ways to do it, measured side by side."""
