// What runs have shown, in a sentence: pure, no document.

import { count, counted, duration } from "../lib/format.js";

/** @import { Run } from "../lib/api.js" */

/** What is a hair faster is not better: strategies whose times differ by less are the same. */
const SAME = 0.05;

/** @param {Run[]} runs @param {number} elapsed Until the last one has ended. */
export function runSentence(runs, elapsed) {
  if (runs.length === 1) return singleSentence(runs[0]);
  const walls = runs.map((run) => run.wall).sort((a, b) => a - b);
  const failed = runs.filter((run) => !run.ok).length;
  const each = `each took ${duration(walls[0])} to ${duration(walls[walls.length - 1])}, and all were done after ${duration(elapsed)}`;
  return `${counted(runs.length, "caller")} at once: ${each}.${failed > 0 ? ` ${count(failed)} of them failed.` : ""}`;
}

/** @param {Run} run */
function singleSentence(run) {
  const calls = counted(run.calls.length, "call");
  const wall = duration(run.wall);
  if (!run.ok) return `It failed after ${wall}.`;
  if (run.saved > run.wall * 0.02) {
    return `${calls} of ${duration(run.total)} together took ${wall}: running at the same time saved ${duration(run.saved)}.`;
  }
  if (run.avoidable > 0) {
    return `${calls} one after the other took ${wall}: at the same time they would take ${duration(run.wall - run.avoidable)}.`;
  }
  return `It took ${wall}.`;
}

/**
 * A run that failed may be fast because it failed: only those that succeeded are compared.
 * @param {Run[]} results One for each strategy.
 */
export function comparisonSentence(results) {
  const failed = results.filter((run) => !run.ok);
  if (failed.length === results.length) return "All strategies failed.";
  const parts = [
    fastest(
      results.filter((run) => run.ok),
      failed.length === 0,
    ),
  ];
  if (failed.length > 0) {
    parts.push(`${capital(words(failed.map((run) => run.strategy)))} failed, and ${failed.length === 1 ? "is" : "are"} not compared.`);
  }
  return parts.join(" ");
}

/** @param {Run[]} runs That succeeded. @param {boolean} isAll */
function fastest(runs, isAll) {
  const slow = Math.max(...runs.map((run) => run.wall));
  const fast = Math.min(...runs.map((run) => run.wall));
  if (runs.length === 1) return `${capital(runs[0].strategy)} took ${duration(fast)}.`;
  if (slow - fast < slow * SAME) {
    return `${isAll ? "All strategies" : capital(words(runs.map((run) => run.strategy)))} took about ${duration(fast)}.`;
  }
  const slowest = /** @type {Run} */ (runs.find((run) => run.wall === slow));
  const best = /** @type {Run} */ (runs.find((run) => run.wall <= fast * (1 + SAME)));
  return `${duration(slow)} ${slowest.strategy}, ${duration(best.wall)} ${best.strategy}: ${duration(slow - best.wall)} less.`;
}

/** @param {string[]} names */
const words = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}` : names[0]);

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
