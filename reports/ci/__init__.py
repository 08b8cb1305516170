"""What a gate said, in the formats that reviewers already read: JUnit, SARIF, a job summary, annotations, a badge."""
