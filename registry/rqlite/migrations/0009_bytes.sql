-- Hardware that is compressed is stored as the bytes it is from here on, and in base64 only
-- by a server that writes by HTTP. Nothing of the tables changes: the number keeps a binary
-- that cannot read it from trying.
DELETE FROM machines WHERE FALSE;
