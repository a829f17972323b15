// Follows the workspace: asks for a change, then takes the new messages.
"use strict";
(async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  for (;;) {
    try {
      const old = document.querySelector("main");
      const news = await fetch("changes?version=" + old.dataset.version);
      if (news.status !== 200) {
        if (!news.ok) await pause(1000);
        continue;
      }
      const text = await (await fetch(location.href)).text();
      const page = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 80;
      old.replaceWith(page);
      if (atEnd) scrollTo(0, document.body.scrollHeight);
    } catch {
      await pause(1000);
    }
  }
})();
