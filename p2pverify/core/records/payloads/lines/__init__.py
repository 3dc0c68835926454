"""The records of lines: releases, recalls, new publishers, and the version that a member serves."""
