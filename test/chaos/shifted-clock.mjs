// What lives here: a wall clock that is wrong by what a file says, and jumps when it says something else.
// Invariant: only Date is wrong; what measures time that passes is right, as on a machine whose clock was set.
// Apart because worker processes of tests load it before anything else.
import { readFileSync } from 'node:fs';

const RightDate = Date;
const file = process.env['MENDFLOW_TEST_CLOCK'];
let shiftMs = 0;
let readAt = -Infinity;

function shift() {
  if (performance.now() - readAt < 20) return shiftMs;
  readAt = performance.now();
  try {
    shiftMs = Number(readFileSync(file, 'utf8'));
  } catch {
    // No file: the clock is right.
  }
  return shiftMs;
}

globalThis.Date = class Date extends RightDate {
  constructor(...args) {
    if (args.length === 0) super(RightDate.now() + shift());
    else super(...args);
  }
  static now() {
    return RightDate.now() + shift();
  }
};
