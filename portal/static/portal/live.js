// The live page. The socket says what changed, with a cursor, so that a reconnect misses nothing; the page then fetches
// its moving parts anew. Values move without a change, so the parts are also fetched on a timer, more often while the
// socket is away. A page that cannot be fetched says that it is old: nothing that has stopped may look live.
(() => {
  const parts = [...document.querySelectorAll("[data-live-part]")], body = document.body;
  if (!parts.length || body.dataset.cursor === undefined) return;
  const LIVE_MS = 10000, AWAY_MS = 5000, OLD_MS = 15000, FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 15000, LONGEST_REST_MS = 1000;
  const sign = document.querySelector("[data-live]"), old = document.querySelector("[data-old]");
  const toast = document.querySelector("[data-toast]"), spoken = document.querySelector("[data-announce]");
  let cursor = body.dataset.cursor, wait = FIRST_WAIT_MS, open = false, asked = Date.now(), fresh = asked, failing = 0;

  // --- fetching the parts ---
  // For changes one fetch at a time, and after each as long a rest as it took, a second at most: in a storm the server
  // must not do nothing but draw. `later` waits for the end of the rest.
  let restsUntil = 0, later;
  const refresh = () => {
    clearTimeout(later);
    later = undefined;
    asked = Date.now();
    restsUntil = asked + AWAY_MS; // or until it has arrived
    failing ||= asked;
    for (const part of parts) part.dispatchEvent(new Event("refresh"));
  };
  const changed = () => {
    clearTimeout(later);
    const rest = restsUntil - Date.now();
    if (rest > 0) later = setTimeout(changed, rest);
    else refresh();
  };
  const arrived = () => {
    fresh = Date.now();
    restsUntil = fresh + Math.min(fresh - asked, LONGEST_REST_MS);
    failing = 0;
    if (later) changed();
    look();
    show();
  };
  body.addEventListener("htmx:after:swap", (event) => { if (event.detail.ctx.response?.raw.ok) arrived(); });
  // No longer to be seen by this person: the whole page says so, and what it showed is gone.
  body.addEventListener("htmx:response:error", (event) => {
    if ([403, 404].includes(event.detail.ctx.response.status)) location.reload();
  });

  const show = () => {
    const isOld = failing && Date.now() - failing > OLD_MS;
    const word = isOld ? "not live" : open ? "live" : "reconnecting";
    if (sign.dataset.live !== word) { sign.dataset.live = sign.textContent = word; sign.hidden = false; }
    if (isOld && old.hidden) {
      const since = new Date(fresh).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      old.textContent = `This page has not been renewed since ${since}: what you see may be old.`;
    }
    old.hidden = !isOld;
  };
  setInterval(() => {
    if (Date.now() - asked >= (open ? LIVE_MS : AWAY_MS) && !(document.hidden && open)) refresh();
    show();
  }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

  // --- alerts that were not there before ---
  const known = new Set(), told = new Map(); // told by the socket: alert -> its kind of change
  const look = (first) => {
    const lines = [...document.querySelectorAll("[data-alert]")], here = new Set(lines.map((line) => line.dataset.alert.split(":")[0]));
    const added = lines.filter((line) => !known.has(line.dataset.alert));
    for (const line of lines) known.add(line.dataset.alert);
    const elsewhere = [...told].filter(([alert, what]) => !here.has(alert) && ["opened", "worsened"].includes(what));
    told.clear();
    const count = new Set([...added.map((line) => line.dataset.alert), ...elsewhere.map(([alert]) => alert)]).size;
    if (count && !first) {
      const [line] = added, [[alert] = []] = elsewhere;
      const text = count > 1 ? `${count} new alerts` : line ? line.dataset.says : "A new alert";
      announce(text, count > 1 ? body.dataset.alerts : line ? line.href : `${body.dataset.alerts}${alert}/`);
    }
    titled();
  };
  const announce = (text, address) => {
    spoken.textContent = "";
    requestAnimationFrame(() => { spoken.textContent = text; });
    const link = toast.querySelector("a");
    Object.assign(link, { textContent: text, href: address });
    toast.hidden = false;
  };
  toast.querySelector("button").addEventListener("click", () => {
    toast.hidden = true;
    document.getElementById("content").focus({ preventScroll: true });
  });

  // The tab says how many alerts wait, also when another tab is in front.
  const title = document.title;
  const titled = () => {
    const waiting = Number(document.querySelector("[data-unanswered]")?.dataset.unanswered ?? 0);
    document.title = waiting ? `(${waiting}) ${title}` : title;
  };

  // --- the socket ---
  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live/?since=${cursor}`);
    socket.onopen = () => { wait = FIRST_WAIT_MS; open = true; show(); };
    socket.onmessage = (message) => {
      const { cursor: next, changes } = JSON.parse(message.data);
      cursor = next;
      for (const change of changes) if (change.kind === "alert") told.set(String(change.alert), change.what);
      if (changes.length) changed();
    };
    socket.onclose = (event) => {
      open = false;
      show();
      if (event.code === 4401) refresh(); // signed out: the answer leads to the sign-in
      setTimeout(connect, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };

  look(true);
  show();
  connect();
})();
