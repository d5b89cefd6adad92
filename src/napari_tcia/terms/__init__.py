"""May I? Licences, the data usage policy, the record of acceptances, the gate."""
