// Reads of the viewer's API, one at a time: a slow answer is waited for, and what is asked for meanwhile is read once, afterwards.

/**
 * @param {(signal: AbortSignal) => Promise<void>} read Handles its own errors. What it gets after the signal is of no use any more.
 * @param {number} delay How many milliseconds after {@link later} it reads.
 */
export function createReader(read, delay) {
  /** @type {AbortController | null} */
  let reading = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let isWanted = false;

  /** Reads at once: what is being read is no longer asked for. */
  async function now() {
    stop();
    const own = (reading = new AbortController());
    try {
      await read(own.signal);
    } finally {
      if (reading === own) {
        reading = null;
        if (isWanted) later();
      }
    }
  }

  /** Reads in a moment, and not before the last read has ended. */
  function later() {
    isWanted = true;
    if (reading === null && timer === undefined) timer = setTimeout(now, delay);
  }

  function stop() {
    reading?.abort();
    reading = null;
    clearTimeout(timer);
    timer = undefined;
    isWanted = false;
  }

  return { now, later, stop };
}
