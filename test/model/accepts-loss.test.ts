// What is promised here: accepting a loss is offered only where it does what it says.
import { expect, it } from 'vitest';
import { failure } from '../../src/model/failure.ts';
import { acceptsLoss, CLOSE_STAGE } from '../../src/model/verdict.ts';

const moving = { quarantineShareMax: 0.05 };
const [full, away] = [{ failure: failure('quarantine_limit') }, { failure: failure('pg_unreachable') }];

it.each([
  ['a stage that moves records', 'load', 'decision', full, moving, true],
  ['one that waits for a time', 'load[a.log]', 'time', away, moving, true],
  ['one that waits for an upstream', 'load', 'upstream', away, moving, false],
  ['one without a limit', 'list', 'decision', full, {}, false],
  ['one whose policy is not known', 'list', 'decision', full, undefined, false],
  ['one that has a limit and asked nothing', 'report', 'decision', { ...full, moves: false }, moving, false],
  ['one that asked what it may lose', 'load', 'decision', { ...full, moves: true }, moving, true],
  ['the close of a run with bad records', CLOSE_STAGE, 'decision', full, {}, true],
  [
    'the close of a run that does not add up',
    CLOSE_STAGE,
    'decision',
    { failure: failure('run_unbalanced') },
    {},
    false,
  ],
  ['the opening of a run', 'mendflow:open', 'decision', away, {}, false],
] as const)('%s', (_what, stage, until, ended, policy, takes) =>
  expect(acceptsLoss(stage, until, ended, policy)).toBe(takes),
);
