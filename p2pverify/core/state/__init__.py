"""The state transition: a state and the records of a cut give the next state, its scores and its view."""
