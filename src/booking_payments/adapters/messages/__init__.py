"""How messages leave the house: as signed webhooks, or over a broker."""
