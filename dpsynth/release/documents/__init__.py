"""What goes with a released table: card, certificate and Croissant metadata."""
