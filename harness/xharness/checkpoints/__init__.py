"""Models as files: config, weights, heads, records, the zoo and downloads. No torch."""
