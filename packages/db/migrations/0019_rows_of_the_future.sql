-- A process with a clock that is ahead makes ids of weeks that have no partition yet: their rows lie in the default one. Then that week's partition cannot be
-- made any more; nor could any other be, nor the platform be started.
CREATE OR REPLACE FUNCTION ops.ensure_partitions(now timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  parent text; low timestamptz; high timestamptz; part text; made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ops.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['runs', 'payloads', 'attempts', 'item_failures'] LOOP
    FOR step IN 0..4 LOOP
      low := (date_trunc('week', now AT TIME ZONE 'UTC') + step * interval '7 days') AT TIME ZONE 'UTC';
      high := low + interval '168 hours';
      part := format('%s_%s', parent, to_char(low AT TIME ZONE 'UTC', 'IYYY"w"IW'));
      IF to_regclass('ops.' || part) IS NULL THEN
        BEGIN
          EXECUTE format('CREATE TABLE ops.%I PARTITION OF ops.%I FOR VALUES FROM (%L) TO (%L)', part, parent, ops.uuid7_floor(low), ops.uuid7_floor(high));
          made := made + 1;
        EXCEPTION WHEN check_violation THEN
          RAISE WARNING 'ops.% is not made: rows of its time are in the default partition, and stay there with all others of it', part;
        END;
      END IF;
    END LOOP;
  END LOOP;
  FOREACH parent IN ARRAY ARRAY['ticks', 'audit_log'] LOOP
    FOR step IN 0..2 LOOP
      low := (date_trunc('month', now AT TIME ZONE 'UTC') + step * interval '1 month') AT TIME ZONE 'UTC';
      high := ((low AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
      part := format('%s_%s', parent, to_char(low AT TIME ZONE 'UTC', 'YYYY"m"MM'));
      IF to_regclass('ops.' || part) IS NULL THEN
        BEGIN
          EXECUTE format('CREATE TABLE ops.%I PARTITION OF ops.%I FOR VALUES FROM (%L) TO (%L)', part, parent, low, high);
          made := made + 1;
        EXCEPTION WHEN check_violation THEN
          RAISE WARNING 'ops.% is not made: rows of its time are in the default partition, and stay there with all others of it', part;
        END;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
