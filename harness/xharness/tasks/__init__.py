"""Everything that reads `tasks/*.yaml`: specs, benchmarks, recipes and names."""
