// Keeps the facts of the page new while somebody looks at it. Without it, the page is right when it is loaded.
"use strict";
const pause = 2000; // milliseconds
let tag = "";

async function look() {
  const live = document.getElementById("live");
  // Whoever goes through the page by keyboard keeps the place.
  if (!document.hidden && !live.contains(document.activeElement)) {
    try {
      const part = await fetch("/?view=live", { headers: { Accept: "text/html", "If-None-Match": tag } });
      if (part.status === 200) {
        const fresh = new DOMParser().parseFromString(await part.text(), "text/html").body;
        if (!live.contains(document.activeElement)) {
          live.replaceChildren(...fresh.childNodes);
          tag = part.headers.get("ETag") || "";
        }
      }
    } catch {
      // The cache does not answer at the moment: the next look may find it.
    }
  }
  setTimeout(look, pause);
}

setTimeout(look, pause);
