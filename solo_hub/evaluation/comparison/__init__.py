"""Base, teacher and student side by side: opened, asked, shown, and published as a Space."""
