"""What is told of calls while they are made: a log line for each call to the gateway, and traces where somebody
collects them. Wrapped around the ports by the container; nothing inside knows of it."""
