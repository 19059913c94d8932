// What lives here: one round of recovery: what the rows of a breaker and of the runs that wait for it ask for now.
// Invariant: a canary or a wave is let go in the row first and told by a signal second, so a lost signal is sent again and a killed round is repeated.
// Apart from the workflow because all of it is reading and writing; the workflow only knows when to look again.
import { Context, getClient } from '@temporalio/activity';
import type { Pool } from 'pg';
import { type BreakerRow, readBreaker, tickBreaker, wouldAdmit } from '../../store/breakers.ts';
import { countParks, type ParkCounts, releaseCanary, releasedAgain } from '../../store/parks.ts';
import { lostMsOf, type Pace } from '../pace.ts';
import type { RecoveryMemo, Recovering, Ticked } from '../workflow/recovery.ts';
import { temporalClock } from './clock.ts';
import { letGo } from './waves.ts';
import { wake } from './wake.ts';

/** What recovery needs of its worker. */
export interface RecoveryTools {
  readonly pool: Pool;
  readonly pace: Pace;
  /** Fingerprint of the credential this worker would send now; another one than that of the hold may try, at once. */
  readonly printOf: (upstream: string) => string | undefined;
  readonly hasProbe: (upstream: string) => boolean;
}

/** A canary gets so long to make its call before another one is sent. */
const CANARY_MS = 5_000;
/**
 * Where it changed nothing about a hold, the next one waits twice as long as the one before, up to so long: workers with different credentials
 * take each other's for renewed.
 */
const CANARY_MAX_MS = 10 * 60_000;
/** So many that decide nothing, such as one that this machine cannot even send, and a run goes in their place. */
const PROBES_MAX = 3;
/** Canaries that are gone are skipped, so many in one round. */
const SKIPPED_MAX = 50;
/** So many are told again in one round. */
const TOLD_MAX = 500;
/** Of a fingerprint so much stays in the memo, which is kept in a history: enough to tell a handful of values apart, and nothing to guess by. */
const MARK_LENGTH = 4;
/** Values that were tried in one hold; whoever has more waits for cooldowns. */
const TRIED_MAX = 20;

/** One round: its tools, and Temporal's time, because what a round remembers is read by the next, which another worker may make. */
interface Round extends RecoveryTools {
  readonly now: number;
}

export function tickIn(recovery: RecoveryTools): Recovering['tick'] {
  return async ({ upstream, memo }) => {
    const tools: Round = { ...recovery, now: temporalClock()() };
    Context.current().heartbeat();
    await tickBreaker(tools.pool, upstream);
    const breaker = await readBreaker(tools.pool, upstream);
    // Nobody declared it in this database: then nothing holds those who wait for it.
    const epoch = breaker?.epoch ?? 1;
    const parks = await countParks(tools.pool, upstream, { epoch, hold: breaker?.hold, lostMs: lostMsOf(tools.pace) });
    if (breaker?.why === 'hold') return await tickHeld(tools, breaker, parks, memo);
    if (breaker && !breaker.admit) return refused(tools, breaker, parks);
    if (breaker?.trial === true) return await tickTrial(tools, breaker, parks, memo);
    const toldAgainAt = await tellAgain(tools, upstream, epoch, memo);
    const ticked =
      parks.waiting + parks.going === 0
        ? nobodyWaits(tools, upstream, breaker)
        : await letGo(tools, { upstream, epoch, callsPerSecond: breaker?.callsPerSecond }, memo);
    return { ...ticked, memo: { ...ticked.memo, toldAgainAt } };
  };
}

/** Once in a while, whoever was let go lately: at most three times each. Returns when. */
async function tellAgain(
  { pool, pace, now }: Round,
  upstream: string,
  epoch: number,
  { toldAgainAt }: RecoveryMemo,
): Promise<number> {
  if (toldAgainAt !== undefined && now - toldAgainAt < pace.tellAgainMs) return toldAgainAt;
  const which = { epoch, olderMs: pace.tellAgainMs, lostMs: lostMsOf(pace), limit: TOLD_MAX };
  await wake(pool, getClient(), await releasedAgain(pool, upstream, which));
  return now;
}

/** Open, gated or forced open: time, the upstream or an operator ends it. */
function refused({ pace, now }: Round, breaker: BreakerRow, parks: ParkCounts): Ticked {
  return {
    memo: {},
    nextInMs: Math.min(Math.max(breaker.retryMs, 100), pace.tickMaxMs),
    over: false,
    probe: false,
    what: `${breaker.why.replace('_', ' ')} until then`,
    text: `**${breaker.key}** is ${breaker.why} since ${since(breaker)}; next look at ${new Date(now + breaker.retryMs).toISOString()}. ${waiting(parks)}`,
  };
}

/** The cooldown is over: the declared probe goes, else the run that has waited longest. Whoever it is takes the trial by its own call. */
async function tickTrial(tools: Round, breaker: BreakerRow, parks: ParkCounts, memo: RecoveryMemo): Promise<Ticked> {
  const told = `**${breaker.key}** is to be tried again (${breaker.why} since ${since(breaker)}).`;
  const round = { memo, nextInMs: 1_000, over: false, probe: false };
  const held = breaker.hold !== undefined;
  const probes = tools.hasProbe(breaker.key);
  if (waiters(parks) === 0 && (held || !probes))
    return {
      ...round,
      over: true,
      nextInMs: tools.pace.lingerMs,
      what: 'whether a run waits for it',
      text: `${told} Nobody waits.`,
    };
  const sent = held || memo.canary?.epoch === breaker.epoch ? memo.canary : undefined;
  const kept = held && memo.tried ? { tried: memo.tried } : {};
  const { now } = tools;
  const slower = held || probes;
  const leftMs = sent ? sent.at + canaryWaitMs(slower ? sent.no : 0) - now : 0;
  if (sent && leftMs > 0)
    return {
      ...round,
      nextInMs: slower ? Math.min(leftMs, tools.pace.tickMaxMs) : 1_000,
      what: 'how the one fares that tries it',
      text: `${told} The last to try went at ${new Date(sent.at).toISOString()}. ${waiting(parks)}`,
    };
  const canary = { epoch: breaker.epoch, at: now, no: sent ? (sent.no ?? 0) + 1 : 0 };
  if (probes && (canary.no < PROBES_MAX || waiters(parks) === 0))
    return {
      ...round,
      memo: { ...kept, canary },
      nextInMs: 100,
      probe: true,
      what: 'what its probe found',
      text: `${told} Its probe goes.`,
    };
  await sendCanary(tools, breaker, false);
  return {
    ...round,
    memo: { ...kept, canary },
    what: 'how the one fares that tries it',
    text: `${told} A canary was sent. ${waiting(parks)}`,
  };
}

/** How long canary `no` (from 0) of a hold is waited for. */
const canaryWaitMs = (no = 0): number => Math.min(CANARY_MS * 2 ** no, CANARY_MAX_MS);

/** A wrong setting heals by people alone: one run asks for all. Where nobody asks any more, one is sent to find out. */
async function tickHeld(tools: Round, breaker: BreakerRow, parks: ParkCounts, memo: RecoveryMemo): Promise<Ticked> {
  const { key } = breaker;
  const { now } = tools;
  const print = tools.printOf(key);
  const nextInMs = Math.min(Math.max(breaker.retryMs, 1_000), tools.pace.tickMaxMs);
  const held = `**${key}** is held since ${since(breaker)} by ${breaker.hold}.`;
  const round = { over: false, probe: false };
  if (waiters(parks) > 0 && print !== undefined) {
    const look = await wouldAdmit(tools.pool, key, { print });
    if (look.trial)
      return await tickTrial(tools, { ...breaker, why: 'held, and the credential was renewed,' }, parks, memo);
    const tried = triedWith(memo, print);
    // The cooldown is for an upstream that fails; of a credential that nobody has tried yet it knows nothing.
    if (look.why === 'open' && tried !== undefined) {
      await sendCanary(tools, breaker, true);
      return {
        ...round,
        memo: { tried, canary: { epoch: breaker.epoch, at: now, no: memo.canary ? (memo.canary.no ?? 0) + 1 : 0 } },
        nextInMs: 1_000,
        what: 'how the new credential fares',
        text: `${held} The credential was renewed, and a canary was sent with it. ${waiting(parks)}`,
      };
    }
  }
  const quietSince = parks.asking > 0 ? undefined : (memo.unaskedSince ?? now);
  const sent = { ...(memo.canary ? { canary: memo.canary } : {}), ...(memo.tried ? { tried: memo.tried } : {}) };
  if (quietSince === undefined)
    return {
      ...round,
      memo: sent,
      nextInMs,
      what: `held by ${breaker.hold}, a run asks`,
      text: `${held} A run asks for all. ${waiting(parks)}`,
    };
  if (now - quietSince < tools.pace.unaskedMs || waiters(parks) === 0)
    return {
      ...round,
      memo: { ...sent, unaskedSince: quietSince },
      nextInMs: Math.min(nextInMs, tools.pace.unaskedMs),
      what: `held by ${breaker.hold}, nobody asks`,
      text: `${held} ${waiting(parks)}`,
    };
  await sendCanary(tools, breaker, true);
  return {
    ...round,
    memo: { ...sent, unaskedSince: now },
    nextInMs,
    what: `held by ${breaker.hold}, one was sent to ask`,
    text: `${held} Nobody asks, so one run was sent to find out.`,
  };
}

/** What was tried at once in this hold with this one; undefined if it is among them, or they are too many: workers with different credentials. */
function triedWith({ tried = [] }: RecoveryMemo, print: string): readonly string[] | undefined {
  const mark = print.slice(0, MARK_LENGTH);
  return tried.includes(mark) || tried.length >= TRIED_MAX ? undefined : [...tried, mark];
}

async function sendCanary({ pool }: RecoveryTools, breaker: BreakerRow, pass: boolean): Promise<void> {
  for (let skipped = 0; skipped < SKIPPED_MAX; skipped++) {
    const canary = await releaseCanary(pool, breaker.key, breaker.epoch);
    if (!canary || (await wake(pool, getClient(), [canary], pass)) > 0) return;
  }
}

/** Without traffic nobody reports, so the ramp is seen through here. */
function nobodyWaits({ pace }: RecoveryTools, upstream: string, breaker: BreakerRow | undefined): Ticked {
  const ramping = breaker?.state === 'ramping' && breaker.mode === 'auto';
  const rampMs = breaker?.settings.rampMs ?? pace.tickMaxMs;
  const leftMs = ramping ? rampMs - breaker.changedMs : 0;
  return {
    memo: {},
    nextInMs: ramping ? Math.min(Math.max(leftMs, Math.min(rampMs, 1_000)), pace.tickMaxMs) : pace.lingerMs,
    over: !ramping,
    probe: false,
    what: ramping ? 'its ramp' : 'whether a run waits for it',
    text: `**${upstream}** admits calls${breaker ? ` (${breaker.state})` : ''}; nobody waits for it.`,
  };
}

const since = ({ sinceAt }: BreakerRow): string => new Date(sinceAt).toISOString();
const waiters = ({ waiting, going, lost }: ParkCounts): number => waiting + going + lost;
const waiting = (parks: ParkCounts): string => `${waiters(parks)} stages wait for it.`;
