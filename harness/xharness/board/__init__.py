"""The leaderboard: submissions, their checking, and the tables and the page that are built of them."""
