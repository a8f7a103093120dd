"""Forward models: wave equation solvers and their exact linearisation."""
