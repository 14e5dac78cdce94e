"""`xharness submit` and `xharness leaderboard`: submissions, checks, the board and its page. No torch."""
