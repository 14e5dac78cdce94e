"""`xharness submit` and `xharness leaderboard`: submissions, checks, tables and page. No torch."""
