// What is promised here: how far a long load is, is said in words that are counted from the ledger.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { progressLine } from '../../src/commands/support/report.ts';
import { migrate } from '../../src/store/migrate.ts';
import { progressOf } from '../../src/store/reads.ts';
import { freshDatabase } from '../support/database.ts';

const none = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };
const words = (bytesPlanned: number, bytesDone: number, recordsLately: number, secondsLately: number): string =>
  progressLine({ ...none, bytesPlanned, bytesDone, recordsLately, secondsLately });

describe('progress', () => {
  let pool: pg.Pool;
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const database = await freshDatabase();
    drop = database.drop;
    await migrate(database.url);
    pool = new pg.Pool({ connectionString: database.url });
  });
  afterAll(async () => {
    await pool?.end();
    await drop?.();
  });

  it('is a share of the planned bytes and a rate, and nothing where nothing is known', () => {
    expect(words(0, 0, 0, 0)).toBe('');
    expect(words(1_000, 333, 0, 0)).toBe('33 % of 1,000 bytes planned so far');
    expect(words(512 * 1_024 ** 2, 512 * 1_024 ** 2 - 1, 1_260_000, 60)).toBe(
      '99 % of 512 MiB planned so far, 21,000 records a second',
    );
    expect(words(5.5 * 1_024 ** 3, 0, 0, 60)).toBe('0 % of 5.5 GiB planned so far, 0 records a second');
    expect(words(0, 0, 90, 60)).toBe('2 records a second');
  });

  it('is counted from what is committed in this generation', async () => {
    expect(await progressOf(pool, 'copy/2026-05-01')).toMatchObject({ ...none, bytesPlanned: 0, bytesDone: 0 });
    await pool.query(`
      insert into mendflow.run (key, pipeline, data_date, generation) values ('copy/2026-05-01', 'copy', '2026-05-01', 2);
      insert into mendflow.source (pipeline, name) values ('copy', 'a'), ('copy', 'empty');
      insert into mendflow.slice (run_key, generation, stage, source_id, extent, sealed)
        values ('copy/2026-05-01', 2, 'load', 1, '[0,4000)', true), ('copy/2026-05-01', 2, 'load', 2, 'empty', true),
          ('copy/2026-05-01', 1, 'load', 1, '[0,9000)', true);
      insert into mendflow.chunk (source_id, stage, generation, extent, run_key, epoch, read, loaded, duplicate, quarantined, skipped, rows_out, raw_sha256, at)
        values (1, 'load', 2, '[0,500)', 'copy/2026-05-01', 1, 70, 60, 0, 10, 0, 60, 'x', clock_timestamp() - interval '1 hour'),
          (1, 'load', 2, '[500,1000)', 'copy/2026-05-01', 1, 120, 120, 0, 0, 0, 120, 'x', clock_timestamp()),
          (1, 'load', 1, '[0,500)', 'copy/2026-05-01', 1, 1000, 1000, 0, 0, 0, 1000, 'x', clock_timestamp())`);
    const found = await progressOf(pool, 'copy/2026-05-01');
    expect(found).toMatchObject({ read: 190, loaded: 180, quarantined: 10, bytesPlanned: 4_000, bytesDone: 1_000 });
    expect(progressLine(found)).toBe('25 % of 3.9 KiB planned so far, 2 records a second');
  });
});
