"""HTML pages: the checkout for customers and the console for operators. Rendered on the server and usable without
JavaScript.
"""
