"""What everything else stands on: files written whole, names found, work spread over processes, plain tables, units."""
