"""From a spec, a language and a split to examples, from a data folder or the Hub."""
