// What lives here: the range that is in flight in safe mode.
// Invariant: written and committed before the range is parsed, removed in the transaction of its chunk.
// Apart because these rows outlive the worker that they are about.
import type { Db } from './db.ts';
import type { LedgerKey } from './ledger.ts';
import { ledgerStage } from './sources.ts';

export interface Strike {
  /** Records asked for. */
  readonly records: number;
  /** Records left of a range that is tried one by one; 0 outside of one. */
  readonly zone: number;
  /** How often work on it began. */
  readonly strikes: number;
}

/** What died here, if anything did. */
export async function readStrike(db: Db, key: LedgerKey, offset: number): Promise<Strike | undefined> {
  const { rows } = await db.query<Strike>(
    `select records, zone, strikes from mendflow.strike where source_id = $1 and stage = $2 and generation = $3 and off = $4`,
    [key.sourceId, ledgerStage(key.stage), key.generation, offset],
  );
  return rows[0];
}

/** Announces that work on the range begins. */
export async function writeStrike(db: Db, key: LedgerKey, offset: number, strike: Strike): Promise<void> {
  await db.query(
    `insert into mendflow.strike (source_id, stage, generation, off, run_key, records, zone, strikes) values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (source_id, stage, generation, off) do update set records = excluded.records, zone = excluded.zone, strikes = excluded.strikes, at = clock_timestamp()`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      key.generation,
      offset,
      key.runKey,
      strike.records,
      strike.zone,
      strike.strikes,
    ],
  );
}

/** The range is committed: whatever happened, it was not its fault. */
export async function clearStrike(db: Db, key: LedgerKey, offset: number): Promise<void> {
  await db.query('delete from mendflow.strike where source_id = $1 and stage = $2 and generation = $3 and off = $4', [
    key.sourceId,
    ledgerStage(key.stage),
    key.generation,
    offset,
  ]);
}
