"""The verdict of gates in the formats that reviewers already read: JUnit, SARIF, summary, annotations, a badge."""
