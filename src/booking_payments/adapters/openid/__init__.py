"""Log-in with OpenID Connect: the connection to the provider, its documents, and its tokens."""
