// A service keeps its colour for as long as the page is open. The name is always written beside it.

const COLOURS = 10;

/** @type {Map<string, number>} */
const taken = new Map();

/**
 * Returns the class that colours what belongs to a service.
 * @param {string} service
 * @returns {string}
 */
export function serviceClass(service) {
  let colour = taken.get(service);
  if (colour === undefined) {
    // In order of appearance: neighbours in a trace differ.
    colour = taken.size % COLOURS;
    taken.set(service, colour);
  }
  return `service-${colour}`;
}
