"""The discovery report: what diversity and exploration cost, and whether styles are what their names say."""
