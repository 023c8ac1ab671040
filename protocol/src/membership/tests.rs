//! What the state machine of membership does with notices.
