"""Predictions, scores, run folders, averages, tables and exports. No torch."""
