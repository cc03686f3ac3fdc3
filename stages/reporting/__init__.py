"""What the report shows: examples and sections as plain data, charts as Vega-Lite, and the page that holds them."""
