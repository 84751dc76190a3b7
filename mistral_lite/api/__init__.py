"""The REST API: validates, reads SQL, writes definitions and inbox rows, answers. It never decides."""
