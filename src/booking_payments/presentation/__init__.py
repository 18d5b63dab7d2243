"""How payments are shown: the JSON of the API, texts for people, and what no text may hold."""
