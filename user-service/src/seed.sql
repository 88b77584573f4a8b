INSERT INTO users (id, display_name, email, country_code, create_time)
SELECT pioneer.*, CAST($1 AS BIGINT)
FROM (VALUES
    ('ada', 'Ada Lovelace', 'ada@example.org', 'GB'),
    ('alan', 'Alan Turing', 'alan@example.org', 'GB'),
    ('barbara', 'Barbara Liskov', 'barbara@example.com', 'US'),
    ('donald', 'Donald Knuth', 'donald@example.com', 'US'),
    ('edsger', 'Edsger W. Dijkstra', 'edsger@example.org', 'NL'),
    ('grace', 'Grace Hopper', 'grace@example.com', 'US'),
    ('katherine', 'Katherine Johnson', 'katherine@example.com', 'US'),
    ('konrad', 'Konrad Zuse', 'konrad@example.org', 'DE'),
    ('kristen', 'Kristen Nygaard', 'kristen@example.org', 'NO'),
    ('margaret', 'Margaret Hamilton', 'margaret@example.com', 'US'),
    ('niklaus', 'Niklaus Wirth', 'niklaus@example.org', 'CH'),
    ('radia', 'Radia Perlman', 'radia@example.com', 'US')
) AS pioneer
WHERE NOT EXISTS (SELECT 1 FROM users)
ON CONFLICT (id) DO NOTHING
