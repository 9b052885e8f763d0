"""Files as topics: JSON lines (`jsonl:`, to read and to write) and CSV (`csv:`, to read)."""
