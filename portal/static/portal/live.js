// The live socket: told what changed, it lets the page fetch its parts anew. It keeps the cursor, so that a reconnect
// misses nothing. Where the socket cannot be opened the parts refresh by themselves every few seconds.
(() => {
  const start = document.body.dataset.cursor;
  if (start === undefined || !document.querySelector("[data-live-part]")) return;
  const sign = document.querySelector("[data-live]");
  let cursor = start, wait = 500, socket;

  const say = (word) => { sign.hidden = false; sign.textContent = word; sign.dataset.live = word; };

  const announce = (changes) => {
    const opened = changes.filter((c) => c.kind === "alert" && (c.what === "opened" || c.what === "worsened"));
    const place = document.querySelector("[data-announce]");
    if (opened.length && place) place.textContent = opened.length === 1 ? "A new alert." : `${opened.length} new alerts.`;
  };

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/ws/live/?since=${cursor}`);
    socket.onopen = () => { wait = 500; say("live"); };
    socket.onmessage = (message) => {
      const told = JSON.parse(message.data);
      cursor = told.cursor;
      if (!told.changes.length) return;
      announce(told.changes);
      document.body.dispatchEvent(new CustomEvent("changed", { detail: told.changes }));
    };
    socket.onclose = (event) => {
      if (event.code === 4401) { location.reload(); return; }
      say("reconnecting");
      setTimeout(connect, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, 15000);
    };
  };

  // The tab says how many alerts wait, also when another tab is in front.
  const title = document.title;
  const count = () => {
    const counted = document.querySelector("[data-unanswered]");
    const unanswered = counted ? Number(counted.dataset.unanswered) : 0;
    document.title = unanswered ? `(${unanswered}) ${title}` : title;
  };
  new MutationObserver(count).observe(document.querySelector("[data-live-part]"), { subtree: true, childList: true, attributes: true });
  count();
  connect();
})();
