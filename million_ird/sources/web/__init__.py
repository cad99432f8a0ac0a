"""Images from web servers: a polite HTTP client, robots.txt, and a crawler."""
