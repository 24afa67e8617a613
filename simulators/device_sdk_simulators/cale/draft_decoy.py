"""The decoy that section B.2.3c of the draft prints: text where there should be an envelope (CALE-36).

Anybody tells it from an answer at first sight. It is here for comparison only.
"""

from __future__ import annotations

import base64

_TEXT = (
    "At vero eos et accusamus et iusto odio dignissimos ducimus qui blanditiis praesentium voluptatum deleniti atque"
    " corrupti quos dolores et quas molestias excepturi sint occaecati cupiditate non provident, similique sunt in culpa"
    " qui officia deserunt mollitia animi, id est laborum et dolorum fuga. Et harum quidem rerum facilis est et expedita"
    " distinctio. Nam libero tempore, cum soluta nobis est eligendi optio cumque nihil impedit quo minus id quod maxime"
    " placeat facere possimus, omnis voluptas assumenda est, omnis dolor repellendus. Temporibus autem quibusdam et aut"
    " officiis debitis aut rerum necessitatibus saepe eveniet ut et voluptates repudiandae sint et molestiae non"
    " recusandae. Itaque earum rerum hic tenetur a sapiente delectus, ut aut reiciendis voluptatibus maiores alias"
    " consequatur aut perferendis doloribus asperiores repellat."
)
DRAFT_DECOY = base64.b64encode(_TEXT.encode())
"""Base64 of 844 bytes."""
