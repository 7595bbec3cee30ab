"""What makes the product fail, or measures it: part of no node, imported by no other package."""
