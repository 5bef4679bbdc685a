//! Precedence climbing (Pratt): a language gives its operands and the strength of its operators.

/// Which way equal operators lean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assoc {
    /// `a - b - c` is `(a - b) - c`.
    Left,
    /// `a ^ b ^ c` is `a ^ (b ^ c)`.
    Right,
}

/// How strongly an infix operator holds its operands; higher holds stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The strength, from 1.
    pub strength: u8,
    /// Which way equal operators lean.
    pub assoc: Assoc,
}

impl Binding {
    /// An operator that leans left.
    #[must_use]
    pub const fn left(strength: u8) -> Self {
        Self { strength, assoc: Assoc::Left }
    }

    /// An operator that leans right.
    #[must_use]
    pub const fn right(strength: u8) -> Self {
        Self { strength, assoc: Assoc::Right }
    }

    /// The least strength that the operators of its right operand need.
    #[must_use]
    pub const fn right_min(self) -> u8 {
        match self.assoc {
            Assoc::Left => self.strength.saturating_add(1),
            Assoc::Right => self.strength,
        }
    }
}

/// How deep expressions may nest: what keeps a hostile text from exhausting the stack.
pub const MAX_DEPTH: usize = 128;

/// How many infix operators a text may have, for the same reason: a chain of them is a deep tree.
pub const MAX_OPERATORS: usize = 1_000;

/// Counts nesting and operators of one text, and refuses what is beyond the bounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    depth: usize,
    operators: usize,
}

impl Budget {
    /// Goes a level down; false where the text nests too deep. Every `enter` that succeeds needs a `leave`.
    #[must_use]
    pub fn enter(&mut self) -> bool {
        self.depth += 1;
        self.depth <= MAX_DEPTH
    }

    /// Comes back up.
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Counts an operator; false where there are too many.
    #[must_use]
    pub fn operator(&mut self) -> bool {
        self.operators += 1;
        self.operators <= MAX_OPERATORS
    }
}

/// A parser of expressions with infix operators.
pub trait Pratt {
    /// What is parsed.
    type Expr;
    /// What can go wrong.
    type Error;

    /// The counts of this text.
    fn budget(&mut self) -> &mut Budget;

    /// The error for a text that nests too deep or has too many operators.
    fn too_complex(&self) -> Self::Error;

    /// Parses an operand, with its prefix and postfix operators.
    ///
    /// # Errors
    /// Where there is none.
    fn operand(&mut self) -> Result<Self::Expr, Self::Error>;

    /// The strength of the infix operator that comes next, which is not taken; none where something else comes.
    fn binding(&self) -> Option<Binding>;

    /// Takes the operator with its modifiers, then its right operand by `self.expression(binding.right_min())`, and
    /// joins both.
    ///
    /// # Errors
    /// Where the right side is no expression or the two do not fit.
    fn infix(&mut self, left: Self::Expr, binding: Binding) -> Result<Self::Expr, Self::Error>;

    /// Parses an expression whose operators are at least as strong as `min`; 0 takes all.
    ///
    /// # Errors
    /// Those of the parts, and [`Pratt::too_complex`].
    fn expression(&mut self, min: u8) -> Result<Self::Expr, Self::Error> {
        if !self.budget().enter() {
            return Err(self.too_complex());
        }
        let mut left = self.operand()?;
        while let Some(binding) = self.binding().filter(|binding| binding.strength >= min) {
            if !self.budget().operator() {
                return Err(self.too_complex());
            }
            left = self.infix(left, binding)?;
        }
        self.budget().leave();
        Ok(left)
    }
}
