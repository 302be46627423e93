"""What the lessons need beside the package: checks of answers, quizzes, a toy model, and both forms of a lesson."""
